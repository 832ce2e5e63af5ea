// tidy: table
import { type Program, SOURCES } from "../program.ts";

/** Shells and what is driven by them. */
export const SHELLS: readonly Program[] = [
  {
    name: "bash",
    packages: ["bash", "coreutils"],
    needs: ["bash"],
    script: "bash $ZOO/shell.bash",
    turns: 2,
    fast: true,
  },
  {
    name: "dash",
    packages: ["dash", "coreutils"],
    needs: ["dash"],
    script: "dash $ZOO/shell.sh",
    turns: 2,
    fast: true,
  },
  { name: "zsh", packages: ["zsh"], needs: ["zsh"], turns: 2, script: "zsh -f $ZOO/shell.zsh" },
  { name: "mksh", packages: ["mksh"], needs: ["mksh"], script: "mksh $ZOO/shell.sh", turns: 2 },
  { name: "fish", packages: ["fish"], needs: ["fish"], turns: 2, script: "fish --no-config $ZOO/shell.fish" },
  {
    name: "busybox",
    packages: ["busybox-static"],
    needs: ["busybox"],
    turns: 2,
    script: `busybox sh $ZOO/shell.sh && head -c 2000000 $DATA/text > in && busybox gzip -k in && busybox sha256sum in.gz && busybox sort in | busybox md5sum &&
      busybox awk '{ n += NF } END { print n }' in && busybox tar cf t.tar in in.gz && busybox tar tf t.tar && rm t.tar`,
    fast: true,
  },
  {
    name: "dash configure",
    packages: ["dash", "autoconf", "m4", "perl", "gcc", "libc6-dev", "make"],
    needs: ["autoconf", "gcc", "make"],
    script:
      "cp $ZOO/configure.ac $ZOO/config-main.c . && autoheader && autoconf && CONFIG_SHELL=/bin/dash dash ./configure && cat config.h && make && ./config-main",
    compare: { note: "config.log names PIDs", ignore: /\/config\.log$|\/autom4te\.cache\// },
  },
  {
    name: "make -j4",
    packages: ["make", "gcc", "libc6-dev", "bash"],
    needs: ["make", "gcc"],
    script: "bash $ZOO/make-project.sh 24 && make -s -j4 && ./project",
    fast: true,
  },
  {
    name: "make -j4, Lua",
    packages: ["make", "gcc", "libc6-dev", "dpkg-dev"],
    sources: ["lua5.4"],
    needs: ["make", "gcc", `${SOURCES}/lua5.4.tar`],
    script:
      "tar xf $SOURCES/lua5.4.tar && cd lua-*/src && make -s -j4 posix && ./lua $ZOO/plain.lua 20 && ./luac -o p $ZOO/plain.lua && ./lua p 20 && md5sum p && make -s clean",
  },
  {
    name: "cmake, ninja",
    packages: ["cmake", "ninja-build", "gcc", "g++", "libc6-dev"],
    needs: ["cmake", "ninja", "g++"],
    turns: 2,
    script: "bash $ZOO/make-project.sh 6 && mkdir b && cd b && cmake -G Ninja .. > /dev/null && ninja > /dev/null && ./project",
    compare: { note: "build logs hold times", ignore: /\/b\/(\.ninja|CMakeFiles|build\.ninja)/ },
  },
  {
    name: "bison, flex",
    packages: ["bison", "flex", "gcc", "libc6-dev", "m4"],
    needs: ["bison", "flex", "gcc"],
    turns: 2,
    script: `bison -d -o calc.c $ZOO/calc.y && flex -o lex.c $ZOO/calc.l && gcc -O1 -I. calc.c lex.c -o calc &&
      for i in $(seq 20000); do echo "($i + 3) * 7 - $i / 3"; done | ./calc | md5sum`,
  },
  {
    name: "g++",
    packages: ["g++", "libc6-dev"],
    needs: ["g++"],
    script: "g++ -O2 -std=c++17 -pthread $ZOO/threads.cc -o threads && ./threads",
  },
  {
    name: "tcc, nasm",
    packages: ["tcc", "nasm", "libc6-dev", "binutils"],
    needs: ["tcc", "nasm", "ld"],
    turns: 4,
    script:
      "bash $ZOO/make-project.sh 8 && tcc -Isrc -o project src/*.c && ./project && nasm -f elf64 -o hello.o $ZOO/hello.asm && ld -o hello hello.o && ./hello",
  },
  {
    name: "musl",
    packages: ["musl-tools", "gcc"],
    needs: ["musl-gcc"],
    prepare: "musl-gcc -O2 $ZOO/threads.c -o threads-musl -pthread && musl-gcc -static -O2 $ZOO/walk.c -o walk-musl",
    script: "$TOP/threads-musl && $TOP/walk-musl .",
    fast: true,
  },
  {
    name: "xargs -P, find",
    packages: ["findutils", "coreutils"],
    needs: ["xargs", "find"],
    turns: 3,
    script: `mkdir -p d/{a,b,c}/{1,2,3} && for f in d/*/*; do seq 300000 > $f/n; done && find d -name n -print0 | sort -z | xargs -0 -n1 -P4 sh -c 'sha256sum < $0 > $0.sum' &&
      find d -type f | sort | xargs cat | md5sum`,
    fast: true,
  },
  {
    name: "parallel",
    packages: ["parallel", "perl"],
    needs: ["parallel"],
    turns: 2,
    script: `mkdir -p .parallel && touch .parallel/will-cite && seq 1 24 | parallel -k -j4 'seq {} 4000 | sha256sum | cut -c1-16'`,
    compare: { note: "its own folder holds times", ignore: /\.parallel\// },
  },
  { name: "m4", packages: ["m4"], needs: ["m4"], turns: 2, script: "m4 -DN=20000 $ZOO/primes.m4" },
  {
    name: "expect",
    packages: ["expect", "bc"],
    needs: ["expect", "bc"],
    turns: 2,
    script: "expect -f $ZOO/bc.exp",
  },
  {
    name: "screen",
    packages: ["screen"],
    needs: ["screen"],
    turns: 4,
    script: "bash $ZOO/screen.sh",
    compare: { note: "what its window has written", ignore: /\/s(\/|$)/ },
  },
  { name: "tmux", packages: ["tmux"], needs: ["tmux"], turns: 2, script: "bash $ZOO/tmux.sh", fast: true },
  {
    name: "vim",
    packages: ["vim-tiny"],
    needs: ["vim.tiny"],
    script: `head -c 3000000 $DATA/text > t && vim.tiny -N -u NONE -i NONE -es t -c 'for i in range(1, 12) | silent exe "%s/\\\\<" . nr2char(96 + i) . "\\\\(\\\\a*\\\\)/\\\\1-" . i . "/ge" | endfor' -c 'g/z/m0' -c 'wq' ; md5sum t`,
    fast: true,
  },
  {
    name: "ed",
    packages: ["ed"],
    needs: ["ed"],
    turns: 4,
    script: "head -c 1500000 $DATA/text | fold -w 60 > t && ed -s t < $ZOO/ed.txt && md5sum t",
  },
];
