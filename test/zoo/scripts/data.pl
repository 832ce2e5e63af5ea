# Input for the zoo's programs: `text` (12 MB of words), `lines` (24 MB of numbered lines in no order), `words`.
my ($dir) = @ARGV;
srand(1);
my @w = map { join "", map { chr(97 + rand(26)) } 1 .. 2 + rand(9) } 1 .. 3000;
open my $t, ">", "$dir/text" or die;
my $n = 0;
while ($n < 12e6) {
  my $l = join(" ", map { $w[rand(@w) * rand()] } 1 .. 12 + rand(6)) . "\n";
  $n += length $l;
  print $t $l;
}
open my $l, ">", "$dir/lines" or die;
printf $l "%015.0f %08d %s\n", rand() * 1e15, $_, $w[rand(@w)] for 1 .. 700000;
open my $d, ">", "$dir/words" or die;
print $d "$_\n" for @w;
open my $j, ">", "$dir/data.json" or die;
print $j "[", join(",\n", map { qq({"id":$_,"name":"$w[$_ % @w]","tags":["$w[$_ * 7 % @w]","$w[$_ * 13 % @w]"],"value":@{[$_ * 7919 % 10007]}}) } 1 .. 20000), "]\n";
open my $x, ">", "$dir/data.xml" or die;
print $x "<list>\n", (map { qq(<item id="$_"><name>$w[$_ % @w]</name><value>@{[$_ * 7919 % 10007]}</value></item>\n) } 1 .. 20000), "</list>\n";
