use strict;
use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
$| = 1;
srand(7);
my @a = map { int(rand(1e9)) } 1 .. 200000;
@a = sort { $a <=> $b } @a;
print "$a[0] $a[100000] ", sha256_hex(join ",", @a), "\n";
my %kids;
for my $k (1 .. 4) {
  pipe(my $r, my $w);
  my $pid = fork() // die;
  if ($pid == 0) {
    close $r;
    my $n = 0;
    $n = ($n * 31 + $_) % 1000003 for 1 .. 900000 * $k;
    print $w "$k: $n\n";
    close $w;
    POSIX::_exit($k);
  }
  close $w;
  $kids{$pid} = [$k, $r];
}
for my $pid (sort { $kids{$a}[0] <=> $kids{$b}[0] } keys %kids) {
  my $r = $kids{$pid}[1];
  print <$r>;
  waitpid($pid, 0);
  print $? >> 8, "\n";
}
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => "127.0.0.1") or die;
my $port = $server->sockport;
if (!fork()) {
  my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die;
  print $c "number $_\n" for 1 .. 2000;
  close $c;
  POSIX::_exit(0);
}
my $c = $server->accept;
my $sum = 0;
while (<$c>) { $sum += $1 if /(\d+)/ }
wait;
print "$sum\n";
local $SIG{ALRM} = sub { print "alarm\n" };
alarm 1;
select undef, undef, undef, 3;
print scalar(`seq 1 100 | wc -l`) + 0, "\n";
my $text = do { local $/; open my $f, "<", "$ENV{DATA}/text"; read $f, my $t, 2000000; $t };
my %n;
$n{lc $1}++ while $text =~ /(\w+)/g;
print join(" ", map { "$_=$n{$_}" } (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0 .. 4]), "\n";
