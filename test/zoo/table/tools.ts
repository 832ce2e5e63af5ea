// tidy: table
import type { Program } from "../program.ts";

/** Compressors, text and file tools, cryptography. */
export const TOOLS: readonly Program[] = [
  {
    name: "gzip",
    packages: ["gzip"],
    needs: ["gzip"],
    turns: 3,
    script: "gzip -9 < $DATA/text > t.gz && gzip -dc t.gz | md5sum && gzip -l t.gz",
  },
  {
    name: "bzip2",
    packages: ["bzip2"],
    needs: ["bzip2"],
    script: "head -c 8000000 $DATA/text | bzip2 -9 > t.bz2 && bzip2 -dc t.bz2 | md5sum",
  },
  {
    name: "xz -T4",
    packages: ["xz-utils"],
    needs: ["xz"],
    script: "head -c 4000000 $DATA/text > t && xz -T4 --block-size=500KiB -3 -k t && xz -T2 -dc t.xz | cmp - t && xz -lv t.xz",
  },
  {
    name: "zstd -T0",
    packages: ["zstd"],
    needs: ["zstd"],
    script: "zstd -q -T0 -12 -B1M $DATA/text -o t.zst && zstd -q -dc t.zst | md5sum",
  },
  {
    name: "pigz",
    packages: ["pigz"],
    needs: ["pigz"],
    turns: 3,
    script: "pigz -p 4 -9 < $DATA/text > t.gz && pigz -dc t.gz | md5sum",
    compare: { note: "all" },
  },
  {
    name: "lz4",
    packages: ["lz4"],
    needs: ["lz4"],
    turns: 2,
    script: "lz4 -q -9 $DATA/text t.lz4 && lz4 -q -dc t.lz4 | md5sum && lz4 -q -dc t.lz4 | lz4 -q -1 | md5sum",
  },
  {
    name: "brotli",
    packages: ["brotli"],
    needs: ["brotli"],
    script: "head -c 5000000 $DATA/text | brotli -q 9 > t.br && brotli -dc t.br | md5sum",
  },
  {
    name: "7z",
    packages: ["7zip"],
    needs: ["7zz"],
    script:
      "head -c 3000000 $DATA/text > t && 7zz a -mmt4 -mx5 t.7z t > /dev/null && 7zz x -so t.7z | cmp - t && 7zz t t.7z > /dev/null && rm t.7z",
  },
  { name: "lzip", packages: ["lzip"], needs: ["lzip"], script: "head -c 2000000 $DATA/text | lzip -6 > t.lz && lzip -dc t.lz | md5sum" },
  {
    name: "zip",
    packages: ["zip", "unzip"],
    needs: ["zip", "unzip"],
    turns: 6,
    script:
      "mkdir d && split -b 100000 -a 3 $DATA/data.json d/ && zip -qrX t.zip d && unzip -qp t.zip | md5sum && mkdir o && unzip -q t.zip -d o && diff -r d o/d && unzip -tq t.zip",
    compare: { note: "the archive holds times", ignore: /\.zip$/ },
  },
  {
    name: "tar",
    packages: ["tar", "gzip"],
    needs: ["tar"],
    script:
      "mkdir -p d/e && split -b 60000 -a 3 $DATA/data.json d/ && split -b 300000 -a 3 $DATA/text d/e/ && tar --sort=name --mtime=@0 -czf t.tgz d && tar tzf t.tgz | wc -l && mkdir o && tar xzf t.tgz -C o && diff -r d o/d && md5sum t.tgz",
    fast: true,
  },
  {
    name: "cpio",
    packages: ["cpio", "findutils"],
    needs: ["cpio"],
    turns: 2,
    script:
      "mkdir d && split -b 5000 -a 3 $DATA/text d/ && find d | sort | cpio -o -H newc --quiet --reproducible > t && mkdir o && (cd o && cpio -id --quiet < ../t) && diff -r d o/d && rm t",
  },
  {
    name: "sort --parallel",
    packages: ["coreutils"],
    needs: ["sort"],
    script: "sort --parallel=4 -S 8M -T . $DATA/lines | md5sum && sort -k3,3 -k2,2nr -u -S 6M -T . $DATA/lines | md5sum",
    fast: true,
  },
  {
    name: "coreutils",
    packages: ["coreutils"],
    needs: ["split"],
    turns: 2,
    script:
      "split -n l/8 $DATA/text p. && wc p.* && cat p.* | tr a-y b-z | cut -c3-20 | uniq | wc && paste p.aa p.ab | head -n 2000 | md5sum && join <(sort -u $DATA/words) <(sort -u $DATA/words) | comm -12 - <(sort -u $DATA/words) | wc -l && shuf --random-source=$DATA/text -n 5 $DATA/words && factor 1234567890123457 18446744073709551557 && tac p.aa | rev | fold -w 31 | nl | tail -n 1 && od -A d -t x4 p.ac | md5sum && base64 p.ad | base64 -d | cmp - p.ad && csplit -s -z p.ae 1000 2000 3000 && ls && stat -c '%n %s' xx* && dd if=p.af of=o bs=777 count=900 skip=3 status=none && cksum o && truncate -s 1M o && numfmt --to=iec 123456789 && seq -s, 1 20 && expr 6 '*' 7 && date -d @86400 +%F && install -m 600 o q && ln -s q r && readlink -f r | wc -c && mktemp -u ./XXXX | wc -c && timeout 0.2 sleep 3; echo $?",
  },
  {
    name: "checksums",
    packages: ["coreutils"],
    needs: ["b2sum"],
    turns: 3,
    script:
      'for k in md5 sha1 sha224 sha256 sha384 sha512 b2; do "$k"sum $DATA/text > $k; "$k"sum -c --quiet $k; cut -c1-20 $k; done; cksum $DATA/text; sum $DATA/lines',
  },
  {
    name: "grep",
    packages: ["grep"],
    needs: ["grep"],
    script: String.raw`grep -c 'q[a-m]*z' $DATA/text; grep -oE '\b(\w)\w+\1\b' $DATA/text | head -n 300000 | md5sum; grep -rlF seven $DATA | wc -l; grep -P '(?<=a)b(?!c)' $DATA/words | wc -l; grep -nw -m3 -B1 $(head -n1 $DATA/words) $DATA/text | cut -c1-60`,
  },
  {
    name: "sed",
    packages: ["sed"],
    needs: ["sed"],
    script: String.raw`sed -E 's/([a-z]+) ([a-z]+)/\2 \1/g; /zz/d; y/abc/xyz/; 1~7s/^/> /' $DATA/text | md5sum; cp $DATA/words w; sed -i -e '1!G;h;$!d' w; md5sum w; sed -n '/^a/{p;n;p}' $DATA/words | wc -l`,
  },
  {
    name: "diff, patch",
    packages: ["diffutils", "patch"],
    needs: ["diff", "patch"],
    turns: 4,
    script:
      "head -c 9000000 $DATA/text > a; sed '5~37s/e/E/g; 3~101d' a > b; diff -u a b > p; wc p; cp a c; patch -s c p; cmp b c; diff3 a b c | wc -l; diff -y -W 60 a b | md5sum; rm p",
    compare: { note: "all" },
  },
  {
    name: "jq",
    packages: ["jq"],
    needs: ["jq"],
    turns: 6,
    script:
      "jq -c 'group_by(.name)[:50] | map({name: .[0].name, n: length, sum: (map(.value) | add)})' $DATA/data.json | md5sum; jq -r '.[] | select(.value > 9990) | .tags | join(\"/\")' $DATA/data.json",
  },
  {
    name: "xmllint",
    packages: ["libxml2-utils"],
    needs: ["xmllint"],
    turns: 5,
    script:
      "xmllint --format $DATA/data.xml | md5sum; xmllint --xpath 'sum(//item[@id mod 7 = 0]/value)' $DATA/data.xml; echo; xmllint --stream --noout $DATA/data.xml; echo $?; xmllint --noout <(echo '<a><b></a>') 2>&1 | grep -c error",
  },
  {
    name: "iconv",
    packages: ["libc-bin"],
    needs: ["iconv"],
    turns: 6,
    script:
      "iconv -f ascii -t latin1 $DATA/text | iconv -f latin1 -t utf-16 | iconv -f utf-16 -t utf-32 | iconv -f utf-32 -t utf-8 | md5sum",
  },
  {
    name: "openssl",
    packages: ["openssl"],
    needs: ["openssl"],
    script:
      "openssl enc -aes-256-cbc -pbkdf2 -pass pass:zoo -S 0011223344556677 -in $DATA/text -out t.enc && openssl enc -d -aes-256-cbc -pbkdf2 -pass pass:zoo -S 0011223344556677 -in t.enc | openssl dgst -sha3-256 && openssl dgst -sha512 -hmac key $DATA/lines && openssl genrsa -out k.pem 2048 2>/dev/null && openssl dgst -sha256 -sign k.pem -out s $DATA/text && openssl rsa -in k.pem -pubout -out p.pem 2>/dev/null && openssl dgst -sha256 -verify p.pem -signature s $DATA/text && openssl dgst -sha3-512 $DATA/text $DATA/lines && openssl dgst -blake2b512 $DATA/text && openssl prime -generate -bits 512 | wc -c && rm k.pem s p.pem",
    compare: { note: "its keys are random; a prime's length in digits may differ by one", replace: [[/^15[3-6]$/m, "155"]] },
  },
  {
    name: "openssl speed",
    packages: ["openssl"],
    needs: ["openssl"],
    script:
      "openssl speed -seconds 1 -bytes 4096 sha256 aes-128-cbc 2>&1 | sed -E 's/[0-9]+(\\.[0-9]+)?k?//g' | grep -vE '^(CPUINFO|version|built|options|compiler)'",
    compare: { note: "without the figures; CPU time goes back as it comes home (docs/compat.md)", replace: [[/ +-?/g, " "]] },
  },
  {
    name: "gpg",
    packages: ["gpg", "gpg-agent"],
    needs: ["gpg"],
    script:
      "export GNUPGHOME=$PWD/g; mkdir -m 700 g; head -c 12000000 $DATA/text > t; gpg --batch --quiet --pinentry-mode loopback --passphrase zoo --symmetric t && gpg --batch --quiet --pinentry-mode loopback --passphrase zoo -d t.gpg | md5sum; gpg --batch --print-md sha256 < t; gpgconf --kill all; rm -rf g t.gpg",
  },
  {
    name: "file",
    packages: ["file"],
    needs: ["file"],
    script:
      "file -b /usr/bin/file $DATA/* /usr/share/misc/magic.mgc; find /usr/share/doc -type f | sort | head -n 1500 | file -b -f - | md5sum",
  },
  {
    name: "dpkg-deb",
    packages: ["dpkg"],
    needs: ["dpkg-deb"],
    script:
      "mkdir -p p/DEBIAN p/usr/share/zoo && printf 'Package: zoo\\nVersion: 1\\nArchitecture: all\\nMaintainer: zoo <zoo@localhost>\\nDescription: zoo\\n' > p/DEBIAN/control && head -c 3000000 $DATA/text > p/usr/share/zoo/t && SOURCE_DATE_EPOCH=1 dpkg-deb --root-owner-group -Zxz -z3 -b p zoo.deb && dpkg-deb -I zoo.deb | tail -n 4 && dpkg-deb -x zoo.deb o && diff -r p/usr o/usr && dpkg -l | wc -l",
  },
  {
    name: "rsync",
    packages: ["rsync"],
    needs: ["rsync"],
    turns: 6,
    script:
      "mkdir a && split -b 250000 -a 3 $DATA/text a/ && rsync -a a/ b/ && sed -i '3~500s/a/A/' a/aab a/aac && rm a/aad && rsync -ac --delete --stats --no-whole-file a/ b/ | grep -E 'Number of|Total file' && diff -r a b && rsync -rcn a/ b/ && echo same",
  },
  {
    name: "git",
    packages: ["git"],
    needs: ["git"],
    turns: 2,
    script: "bash $ZOO/git.sh",
    compare: { note: "git's own bookkeeping has times", ignore: /\.git\/(index|logs|gc\.)|\.git\/objects\/(info|pack)/ },
  },
  {
    name: "strace",
    packages: ["strace"],
    needs: ["strace"],
    turns: 2,
    script:
      "strace -f -o t -e trace=write sh -c 'k=0; while [ $k -lt 300000 ]; do k=$((k+1)); done; echo traced | cat' && grep -c traced t && rm t",
    refused: "traced",
  },
  {
    name: "gdb",
    packages: ["gdb", "gcc", "libc6-dev"],
    needs: ["gdb", "gcc"],
    turns: 2,
    prepare: "gcc -g -O0 $ZOO/walk.c -o walk",
    script:
      "gdb -q -nx -batch -ex 'break by_name' -ex 'run .' -ex 'bt 1' -ex 'ignore 1 2000' -ex 'continue' -ex 'kill' $TOP/walk 2>&1 | grep -c by_name; rm -f f* g*",
    refused: "traced",
  },
  {
    name: "valgrind",
    packages: ["valgrind", "gcc"],
    needs: ["valgrind", "gcc"],
    turns: 2,
    prepare: "gcc -g -O1 $ZOO/leak.c -o leak",
    script: "for o in yes no; do valgrind -q --vgdb=$o --leak-check=full --error-exitcode=9 $TOP/leak 2>&1; done | sed 's/==[0-9]*==//'",
  },
  {
    name: "fakeroot",
    packages: ["fakeroot"],
    needs: ["fakeroot"],
    turns: 6,
    script:
      "fakeroot sh -c 'mkdir d; touch d/a; chown 12:34 d/a; stat -c %u:%g d/a; tar cf - d | tar tvf - | cut -c1-20; for i in 1 2 3 4 5 6; do install -o 5 -g 6 d/a d/b$i; done; stat -c %u d/*'",
  },
];
