local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(tonumber(arg[1])))
local f = assert(io.open(os.getenv("DATA") .. "/text"))
local count, lines = {}, 0
for line in f:lines() do
  lines = lines + 1
  for w in line:gmatch("%a+") do count[w] = (count[w] or 0) + 1 end
  if lines == 25000 then break end
end
local names = {}
for w in pairs(count) do names[#names + 1] = w end
table.sort(names, function(a, b) if count[a] ~= count[b] then return count[a] > count[b] end return a < b end)
for i = 1, 5 do print(names[i], count[names[i]]) end
local co = coroutine.wrap(function() for i = 1, 1e5 do coroutine.yield(i) end end)
local s = 0
for i = 1, 1e5 do s = s + co() end
print(string.format("%d", s))
local out = assert(io.open("out", "w"))
for i = 1, 20000 do out:write(string.format("%d %s\n", i, ("x"):rep(i % 20))) end
out:close()
local p = io.popen("wc -c < out")
print(p:read("n"))
p:close()
local t = {}
for i = 1, 300000 do t[i] = {i, tostring(i)} end
t = nil
collectgarbage()
print(os.remove("out"))
