/* Workers that pass a token round a ring and sort meanwhile. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CREW 4
#define ROUNDS 100
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static unsigned long sums[CREW];

static int by_value(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

static void *work(void *arg) {
  int me = (int)(long)arg;
  unsigned seed = (unsigned)me + 1, *v = malloc(20000 * sizeof *v);
  for (int r = 0; r < ROUNDS; r++) {
    for (int i = 0; i < 20000; i++) v[i] = seed = seed * 1664525u + 1013904223u;
    qsort(v, 20000, sizeof *v, by_value);
    pthread_mutex_lock(&lock);
    while (turn != me) pthread_cond_wait(&turned, &lock);
    sums[me] = sums[me] * 31 + v[r];
    turn = (turn + 1) % CREW;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&lock);
  }
  free(v);
  return NULL;
}

int main(void) {
  pthread_t t[CREW];
  for (long i = 0; i < CREW; i++)
    if (pthread_create(&t[i], NULL, work, (void *)i)) return 1;
  for (int i = 0; i < CREW; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < CREW; i++) printf("%lx\n", sums[i]);
  return 0;
}
