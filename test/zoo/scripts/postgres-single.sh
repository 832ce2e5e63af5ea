bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
mkdir pg
chown postgres pg
chmod 755 .
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
as "$bin/initdb" -D pg -A trust -E UTF8 --no-sync > /dev/null || exit
as "$bin/postgres" --single -D pg -F postgres << 'EOT' 2>&1 | grep -vE 'LOG|NOTICE'
create table t as select i, md5(i::text) m from generate_series(1, 40000) i
create index on t (m)
select count(*), min(m), max(m) from t
update t set m = m || i where i % 3 = 0
select sum(length(m)) from t
select count(*) from t a join t b on a.i = b.i + 1 where a.m > b.m
delete from t where i % 7 = 0
vacuum t
select count(*) from t
EOT
echo "${PIPESTATUS[0]}"
