a = reshape(mod((1:40000) * 7919, 1009), 200, 200);
printf("%.6e\n", sum(svd(a)));
printf("%.6f\n", sum(abs(fft((1:65536)' / 100))) / 1e6);
s = 0;
for i = 1:150000
  s = mod(s * 31 + i, 65521);
end
printf("%d\n", s);
[st, out] = system("seq 1 100 | tail -n 1");
printf("%d %s", st, out);
x = sort(mod((1:200000) * 7919, 100003));
save -text out.txt x
printf("%d\n", x(777));
delete("out.txt");
