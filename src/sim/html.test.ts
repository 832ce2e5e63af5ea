import assert from "node:assert/strict";
import { test } from "node:test";
import { reportHtml } from "./html.ts";
import { plotSvg } from "./plot.ts";
import { readScenario } from "./scenario.ts";
import { simulate } from "./simulate.ts";

test("a report is one page that needs nothing else, names what ran, and escapes what it is given", () => {
  const text = JSON.stringify({ about: "a <b> & c", nodes: [{ count: 5 }], work: [{ kind: "batch", on: 0.2, each: 5, life: 20 }] });
  const { report, runs } = simulate(readScenario(text, "page"), { gossip: "vectors" });
  const html = reportHtml(report, runs);
  assert.match(html, /<h1>page: 5 nodes, 5 processes, seed 1<\/h1><p>a &#60;b&#62; &#38; c<\/p>/);
  assert.equal(html.match(/<svg /g)?.length, 5);
  assert.doesNotMatch(html, /NaN|Infinity|undefined|(?:src|href)=|@import|url\(/);
});

test("plots with nothing in them, one point, or zeros on a logarithmic axis", () => {
  for (const line of [
    [],
    [{ x: 0, y: 0 }],
    [
      { x: 1, y: 5 },
      { x: 10, y: 0 },
    ],
  ]) {
    for (const log of [false, true]) {
      const svg = plotSvg({ title: "t", x: "x", y: "y", logX: log, logY: log, series: [{ name: "s", colour: "#000", line, down: line }] });
      assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
    }
  }
});
