import collections, hashlib, io, itertools, json, os, re, sqlite3, struct, tempfile, zlib

words = open(os.environ["DATA"] + "/text").read(3_000_000).split()
count = collections.Counter(words)
print(count.most_common(5))
digest = hashlib.sha256()
for turn in range(18):
    text = " ".join(words[turn % 6::6])
    packed = zlib.compress(text.encode(), 6)
    assert zlib.decompress(packed).decode() == text
    digest.update(packed)
    print(turn, len(packed), digest.hexdigest()[:16], flush=True)
print(len(re.findall(r"\b(\w)\w*\1\b", " ".join(words[:100000]))))
with tempfile.TemporaryDirectory(dir=".") as d:
    for i in range(40):
        with open(f"{d}/{i}", "w+b") as f:
            for k in range(50):
                f.write(struct.pack("<IQ", i, k * i))
            f.seek(12 * 7)
            assert struct.unpack("<IQ", f.read(12)) == (i, 7 * i)
    print(sorted(os.listdir(d))[:3], sum(e.stat().st_size for e in os.scandir(d)))
db = sqlite3.connect("t.db")
db.execute("create table t(a, b)")
with db:
    db.executemany("insert into t values (?, ?)", ((i, w) for i, w in enumerate(words[:30000])))
print(db.execute("select count(distinct b), max(a) from t").fetchone())
data = json.loads(json.dumps({w: i for i, w in enumerate(count)}))
print(len(data), sum(data.values()))
print(sum(1 for p in itertools.permutations(range(9)) if all(abs(p[i] - p[j]) != j - i for i in range(9) for j in range(i + 1, 9))))
