#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <queue>
#include <random>
#include <string>
#include <thread>
#include <vector>

int main() {
  std::queue<int> work;
  std::mutex lock;
  std::condition_variable more;
  bool over = false;
  std::atomic<unsigned long> total{0};
  std::vector<std::thread> crew;
  for (int t = 0; t < 4; t++)
    crew.emplace_back([&] {
      for (;;) {
        std::unique_lock<std::mutex> held(lock);
        more.wait(held, [&] { return over || !work.empty(); });
        if (work.empty()) return;
        int n = work.front();
        work.pop();
        held.unlock();
        std::mt19937 random(n);
        std::vector<unsigned> v(20000);
        for (auto &x : v) x = random();
        std::sort(v.begin(), v.end());
        total += std::accumulate(v.begin(), v.end(), 0ul) % 1000003;
      }
    });
  for (int i = 0; i < 600; i++) {
    { std::lock_guard<std::mutex> held(lock); work.push(i); }
    more.notify_one();
  }
  { std::lock_guard<std::mutex> held(lock); over = true; }
  more.notify_all();
  for (auto &t : crew) t.join();
  std::map<std::string, int> words;
  for (int i = 0; i < 200000; i++) words[std::to_string(i * 7919 % 5003)]++;
  auto f = std::async(std::launch::async, [] { return 6 * 7; });
  std::cout << total << ' ' << words.size() << ' ' << words["17"] << ' ' << f.get() << '\n';
  try {
    throw std::runtime_error("thrown");
  } catch (const std::exception &e) {
    std::cout << e.what() << '\n';
  }
}
