// tidy: table
import type { Program } from "../program.ts";

/** Servers with their clients, databases. */
export const SERVICES: readonly Program[] = [
  {
    name: "sqlite3",
    packages: ["sqlite3"],
    needs: ["sqlite3"],
    turns: 3,
    script: "sqlite3 t.db < $ZOO/plain.sql && md5sum t.db",
  },
  {
    name: "sqlite3, two writers",
    packages: ["sqlite3"],
    needs: ["sqlite3"],
    turns: 3,
    script: `turns() { for i in $(seq 400); do echo "begin immediate; update sum set n = n + $i; insert into log values ('$1', $i); commit;"; done; }
      sqlite3 t.db "create table sum(n); insert into sum values (0); create table log(who, i);"
      turns a | sqlite3 -cmd ".timeout 60000" t.db & turns b | sqlite3 -cmd ".timeout 60000" t.db; wait $!
      sqlite3 t.db "select n from sum; select who, count(*), sum(i) from log group by who; pragma integrity_check;"`,
    compare: { note: "rows come in either order", ignore: /^t\.db$|\/t\.db$/ },
    fast: true,
  },
  {
    name: "postgres, single backend",
    packages: ["postgresql"],
    needs: ["/usr/lib/postgresql", "setpriv"],
    script: "bash $ZOO/postgres-single.sh",
    compare: { note: "without its files", ignore: /(^|\/)pg(\/|$)/ },
  },
  {
    name: "postgres, pgbench",
    packages: ["postgresql"],
    needs: ["/usr/lib/postgresql", "setpriv"],
    script: "bash $ZOO/pgbench.sh",
    compare: { note: "without its files and figures", ignore: /(^|\/)(pg|log|socket)(\/|$)/ },
  },
  {
    name: "redis",
    packages: ["redis-server", "redis-tools"],
    needs: ["redis-server", "redis-cli"],
    script: "bash $ZOO/redis.sh",
    compare: { note: "its dump holds times", ignore: /(^|\/)(dump\.rdb|log)$/ },
  },
  {
    name: "memcached",
    packages: ["memcached", "python3"],
    needs: ["memcached", "python3"],
    script: "memcached -u root -l 127.0.0.1 -p 21211 -t 2 & python3 $ZOO/memcached.py; kill $!; wait $!; echo $?",
  },
  {
    name: "nginx under wrk",
    packages: ["nginx", "wrk", "curl"],
    needs: ["nginx", "wrk", "curl"],
    script: "bash $ZOO/nginx.sh",
    compare: { note: "without the figures and logs", ignore: /(^|\/)(nginx|logs|tmp)(\/|$)/ },
  },
  { name: "curl", packages: ["curl", "python3"], needs: ["curl", "python3"], turns: 2, script: "bash $ZOO/curl.sh" },
  {
    name: "ssh",
    packages: ["openssh-server", "openssh-client"],
    needs: ["sshd", "ssh", "ssh-keygen"],
    script: "bash $ZOO/ssh.sh",
    compare: { note: "keys are random", ignore: /(^|\/)k(\/|$)/ },
  },
  {
    name: "rsync over ssh",
    packages: ["rsync", "openssh-server", "openssh-client"],
    needs: ["rsync", "sshd"],
    script: "bash $ZOO/ssh.sh rsync",
    compare: { note: "keys are random", ignore: /(^|\/)k(\/|$)/ },
  },
  {
    name: "socat",
    packages: ["socat"],
    needs: ["socat"],
    turns: 2,
    script:
      "socat -u TCP-LISTEN:21212,bind=127.0.0.1,reuseaddr STDOUT | md5sum > sum & sleep 0.3; socat -u FILE:$DATA/text TCP:127.0.0.1:21212,retry=20,interval=0.2; wait; cat sum; socat UNIX-LISTEN:$PWD/s,fork EXEC:'tr a-z A-Z' & p=$!; for i in 1 2 3 4 5 6; do echo line $i | socat -t 5 - UNIX-CONNECT:$PWD/s,retry=20,interval=0.2; done; kill $p; wait $p; rm -f s",
  },
  {
    name: "netcat",
    packages: ["netcat-openbsd"],
    needs: ["nc.openbsd"],
    turns: 2,
    script: "nc.openbsd -l -N 127.0.0.1 21213 < /dev/null | md5sum & sleep 0.4; nc.openbsd -N 127.0.0.1 21213 < $DATA/text; wait",
  },
  { name: "openssl s_server", packages: ["openssl"], needs: ["openssl"], turns: 2, script: "bash $ZOO/tls.sh" },
];
