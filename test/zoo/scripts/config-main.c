#include "config.h"
#include <math.h>
#include <stdio.h>

int main(void) {
#ifdef HAVE_MEMFD_CREATE
  puts("memfd");
#endif
  printf("%d %.6f\n", SIZEOF_LONG, cos(1.0));
  return 0;
}
