# A C project of N modules that include one another's headers, with a Makefile and a CMakeLists.txt.
n=$1
mkdir -p src
{
  echo "CFLAGS = -O2 -Wall -Isrc"
  echo "OBJS = src/main.o \$(patsubst %,src/m%.o,$(seq -s ' ' 1 "$n"))"
  echo 'project: $(OBJS)'
  printf '\t$(CC) -o $@ $^\n'
} > Makefile
{
  echo "cmake_minimum_required(VERSION 3.10)"
  echo "project(project C CXX)"
  echo "file(GLOB SOURCES src/*.c)"
  echo 'add_executable(project ${SOURCES})'
} > CMakeLists.txt
for i in $(seq 1 "$n"); do
  echo "unsigned m$i(unsigned depth);" > "src/m$i.h"
  {
    echo "#include <stdio.h>"
    echo "#include <stdlib.h>"
    echo "#include <string.h>"
    for k in 1 2 3; do echo "#include \"m$(((i * 7 + k) % n + 1)).h\""; done
    echo "static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }"
    for k in 1 2 3 4 5 6; do
      echo "static unsigned step$k(unsigned x) { int v[64]; char s[80];"
      echo "  for (int i = 0; i < 64; i++) v[i] = (int)((x + (unsigned)i) * ${k}${i}u % 1009u);"
      echo "  qsort(v, 64, sizeof *v, by_value); snprintf(s, sizeof s, \"%d-%d-%u\", v[3], v[60], x);"
      echo "  return x * 31u + (unsigned)v[$k] + (unsigned)strlen(s); }"
    done
    echo "unsigned m$i(unsigned depth) { unsigned r = ${i}u; if (depth > 6) return r;"
    for k in 1 2 3; do echo "  r += step$k(m$(((i * 7 + k) % n + 1))(depth + 1)) + step$((k + 3))(r);"; done
    echo "  return r; }"
  } > "src/m$i.c"
done
{
  echo "#include <stdio.h>"
  for i in $(seq 1 "$n"); do echo "#include \"m$i.h\""; done
  echo "int main(void) {"
  for i in $(seq 1 "$n"); do echo "  printf(\"%u\\n\", m$i(2));"; done
  echo "  return 0; }"
} > src/main.c
