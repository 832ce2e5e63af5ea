import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Plain {
  record Item(int id, String name) {}

  public static void main(String[] args) throws Exception {
    String text = Files.readString(Path.of(System.getenv("DATA"), "text")).substring(0, 2000000);
    Map<String, Long> count = Arrays.stream(text.split("\\s+")).collect(Collectors.groupingBy(w -> w, TreeMap::new, Collectors.counting()));
    System.out.println(count.size() + " " + count.hashCode());
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Long>> parts = new ArrayList<>();
    for (int k = 0; k < 16; k++) {
      final int seed = k;
      parts.add(pool.submit(() -> new Random(seed).longs(500000).sorted().limit(1000).sum()));
    }
    long sum = 0;
    for (Future<Long> f : parts) sum += f.get();
    pool.shutdown();
    System.out.println(sum);
    List<Item> items = IntStream.range(0, 200000).parallel().mapToObj(i -> new Item(i * 7919 % 100003, "n" + i)).sorted(Comparator.comparingInt(Item::id).thenComparing(Item::name)).toList();
    System.out.println(items.get(777) + " " + items.hashCode());
    Process p = new ProcessBuilder("sh", "-c", "cat; exit 3").start();
    p.getOutputStream().write("through\n".getBytes());
    p.getOutputStream().close();
    System.out.print(new String(p.getInputStream().readAllBytes()));
    System.out.println(p.waitFor());
    Thread.sleep(200);
    try {
      Object[] none = null;
      System.out.println(none.length);
    } catch (NullPointerException e) {
      System.out.println("null");
    }
  }
}
