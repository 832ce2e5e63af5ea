/* Makes, lists, renames and removes files, and computes between. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

int main(int argc, char **argv) {
  if (argc < 2 || chdir(argv[1])) return 1;
  unsigned long h = 5381;
  for (int round = 0; round < 60; round++) {
    char name[64], to[64], names[64][64];
    int n = 0;
    for (int i = 0; i < 8; i++) {
      snprintf(name, sizeof name, "f%d.%d", round, i);
      FILE *f = fopen(name, "w+");
      if (!f) return 2;
      for (int k = 0; k < 400; k++) fprintf(f, "%d %lu\n", k, h = h * 33 + (unsigned)k);
      rewind(f);
      while (fgets(to, sizeof to, f)) h = h * 33 + (unsigned char)to[2];
      fclose(f);
      snprintf(to, sizeof to, "g%d.%d", round, i);
      if (rename(name, to)) return 3;
    }
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));)
      if (e->d_name[0] == 'g' && n < 64) snprintf(names[n++], 64, "%.60s", e->d_name);
    closedir(d);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
      struct stat s;
      if (stat(names[i], &s)) return 4;
      h = h * 33 + (unsigned long)s.st_size;
      if (unlink(names[i])) return 5;
    }
    for (volatile int k = 0; k < 5000000; k++) h += (unsigned)k & 1;
  }
  printf("%lx\n", h);
  return 0;
}
