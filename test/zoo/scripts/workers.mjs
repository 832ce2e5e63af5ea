import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { fileURLToPath } from "node:url";

if (isMainThread) {
  const shared = new Int32Array(new SharedArrayBuffer(16));
  const crew = [1, 2, 3].map((k) => new Worker(fileURLToPath(import.meta.url), { workerData: { k, shared } }));
  const answers = await Promise.all(crew.map((w) => new Promise((done) => w.once("message", done))));
  console.log(answers.join(), shared[0], Atomics.load(shared, 1));
} else {
  const { k, shared } = workerData;
  let h = k;
  for (let i = 0; i < 5e7; i++) h = (h * 33 + i) | 0;
  const parts = [];
  for (let i = 0; i < 200000; i++) parts.push({ i, s: `${i * k}` });
  for (let i = 0; i < 1000; i++) Atomics.add(shared, 0, k);
  Atomics.add(shared, 1, 1);
  Atomics.notify(shared, 1);
  parentPort.postMessage(`${h}:${parts.length}`);
}
