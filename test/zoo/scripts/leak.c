#include <stdio.h>
#include <stdlib.h>

int main(void) {
  unsigned h = 0;
  for (int i = 0; i < 60000000; i++) h = h * 31 + (unsigned)i;
  int *kept = malloc(40);
  kept[3] = 7;
  printf("%u %d\n", h, kept[3]);
  kept = NULL;
  return kept != NULL;
}
