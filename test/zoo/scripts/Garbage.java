import java.util.*;

public class Garbage {
  public static void main(String[] args) throws Exception {
    long[] sums = new long[3];
    Thread[] crew = new Thread[3];
    for (int t = 0; t < crew.length; t++) {
      final int me = t;
      crew[t] = new Thread(() -> {
        Map<Integer, byte[]> kept = new LinkedHashMap<>();
        Random random = new Random(me);
        for (int i = 0; i < 80000; i++) {
          byte[] b = new byte[random.nextInt(4000)];
          Arrays.fill(b, (byte) i);
          kept.put(i % 1500, b);
          if (b.length > 0) sums[me] += b[b.length / 2];
          if (i % 100 == 0) for (byte[] k : kept.values()) if (k.length > 0 && k[0] != k[k.length - 1]) throw new IllegalStateException("changed");
        }
      });
      crew[t].start();
    }
    for (Thread t : crew) t.join();
    System.out.println(Arrays.toString(sums));
  }
}
