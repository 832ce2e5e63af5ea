// tidy: table
import type { Program } from "../program.ts";

/** Pictures, sound, documents. */
export const MEDIA: readonly Program[] = [
  {
    name: "ffmpeg",
    packages: ["ffmpeg"],
    needs: ["ffmpeg"],
    turns: 3,
    script:
      "ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=320x240:rate=25:duration=20 -f lavfi -i sine=440:duration=20 -flags +bitexact -fflags +bitexact -threads 2 -c:v mpeg4 -q:v 4 -c:a pcm_s16le -y v.mkv && ffmpeg -nostdin -loglevel error -i v.mkv -f md5 - && ffmpeg -nostdin -loglevel error -i v.mkv -map 0:v -f framemd5 - | md5sum && rm v.mkv",
  },
  {
    name: "sox",
    packages: ["sox"],
    needs: ["sox"],
    turns: 6,
    script:
      "sox -D -R -n a.wav synth 90 sine 200-2000 vol 0.4 && sox -D -R a.wav b.wav rate -h 22050 reverb 30 reverse lowpass 900 && sox b.wav -n stat 2>&1 | head -n 6",
  },
  {
    name: "imagemagick",
    packages: ["imagemagick"],
    needs: ["convert-im6.q16"],
    turns: 2,
    script:
      "convert-im6.q16 -size 300x200 plasma:red-blue -seed 3 -define png:exclude-chunks=date,time x.ppm; convert-im6.q16 -size 2000x1500 gradient:red-blue -swirl 120 -blur 0x3 -resize 50% -depth 8 s.ppm && md5sum s.ppm && convert-im6.q16 s.ppm -rotate 30 -depth 8 r.bmp && identify-im6.q16 -format '%m %wx%h\\n' r.bmp && rm -f x.ppm",
  },
  {
    name: "gnuplot",
    packages: ["gnuplot-nox"],
    needs: ["gnuplot"],
    turns: 2,
    script:
      "gnuplot -d -e 'set term dumb; plot sin(x)/x' && gnuplot -d -e 'set term svg; set output \"s.svg\"; set samples 400000; plot [-20:20] sin(x)*cos(3*x), x**2/400' && md5sum s.svg && gnuplot -d -e 'set term dumb; set isosamples 250; splot x*x-y*y'",
  },
  {
    name: "graphviz dot",
    packages: ["graphviz"],
    needs: ["dot"],
    turns: 3,
    script:
      'awk \'BEGIN { print "digraph g {"; for (i = 1; i < 150; i++) print "n" i " -> n" int(i / 2) "; n" i " -> n" (i * 7 % 150); print "}" }\' | dot -Tsvg | md5sum',
  },
  {
    name: "ghostscript",
    packages: ["ghostscript"],
    needs: ["gs"],
    turns: 4,
    script: "gs -q -dBATCH -dNOPAUSE -sDEVICE=ppmraw -r72 -sOutputFile=o.ppm $ZOO/plain.ps && md5sum o.ppm && rm o.ppm",
  },
  {
    name: "groff",
    packages: ["groff"],
    needs: ["groff"],
    turns: 3,
    script:
      "(echo '.TH ZOO 1'; for i in $(seq 300); do echo \".SH PART $i\"; head -n $((i * 12)) $DATA/text | tail -n 12; done) > z.1 && groff -man -Tutf8 z.1 | md5sum && groff -man -Tps -P-g z.1 | grep -v '^%%CreationDate' | md5sum",
  },
  {
    name: "pandoc",
    packages: ["pandoc"],
    needs: ["pandoc"],
    turns: 2,
    script:
      "(for i in $(seq 120); do echo \"# Part $i\"; echo; head -n $((i * 6)) $DATA/text | tail -n 6; echo; echo '* one'; echo '* **two**'; echo; done) > z.md && pandoc z.md -t html | md5sum && pandoc z.md -t latex | md5sum",
  },
  {
    name: "povray",
    packages: ["povray"],
    needs: ["povray"],
    turns: 3,
    script:
      "povray -D +I$ZOO/plain.pov +Oo.ppm +FP +W480 +H360 +WT3 -GA > /dev/null 2>&1; echo $?; tail -c 518400 o.ppm | md5sum; rm o.ppm",
  },
];
