bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
mkdir pg socket
chown postgres pg socket
chmod 755 .
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
as "$bin/initdb" -D pg -A trust --no-sync > /dev/null || exit
options="-F -k $PWD/socket -c listen_addresses= -c shared_buffers=16MB -c autovacuum=off"
setpriv --reuid postgres --regid postgres --clear-groups "$bin/postgres" -D pg $options > log 2>&1 &
server=$!
for i in $(seq 100); do "$bin/pg_isready" -q -h "$PWD/socket" && break; sleep 0.2; done
q() { "$bin/psql" -h "$PWD/socket" -U postgres -Atc "$1"; }
"$bin/pgbench" -h "$PWD/socket" -U postgres -i -s 1 -q postgres 2>&1 | grep -c done
"$bin/pgbench" -h "$PWD/socket" -U postgres -c 3 -t 60 --random-seed 7 -n postgres 2>&1 | grep -E 'processed|failed transactions'
q 'select count(*) from pgbench_history'
q 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)'
q 'select (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches)'
kill -INT $server
wait $server
echo $?
