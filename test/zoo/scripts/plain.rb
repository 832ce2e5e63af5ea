require "digest"
require "json"
require "socket"
$stdout.sync = true
words = File.read("#{ENV["DATA"]}/text", 2_000_000).split
puts words.tally.max_by(3) { |w, n| [n, w] }.inspect
puts Digest::SHA256.hexdigest(words.sort.join(","))
puts Array.new(4) { |k| Thread.new { (1..600_000).reduce(k) { |a, i| (a * 31 + i) % 1_000_003 } } }.map(&:value).inspect
r, w = IO.pipe
pid = fork { r.close; w.puts (1..2_000_000).sum { |i| i % 7 }; exit! 5 }
w.close
puts r.read
Process.wait pid
puts $?.exitstatus
server = TCPServer.new("127.0.0.1", 0)
t = Thread.new { c = server.accept; n = 0; while (l = c.gets); n += l.to_i; end; n }
s = TCPSocket.new("127.0.0.1", server.addr[1])
1000.times { |i| s.puts i }
s.close
puts t.value
puts JSON.parse(File.read("#{ENV["DATA"]}/data.json")).sum { |x| x["value"] }
puts `echo out; exit 3`, $?.exitstatus
GC.start
f = Fiber.new { 3.times { |i| Fiber.yield i }; :end }
puts 4.times.map { f.resume }.inspect
trap("USR1") { puts "usr1" }
Process.kill("USR1", Process.pid)
sleep 0.2
puts IO.popen(["sort", "-n"], "r+") { |io| io.puts((1..2000).map { |i| i * 7919 % 2003 }); io.close_write; Digest::MD5.hexdigest(io.read) }
