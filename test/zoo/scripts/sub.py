import os, signal, subprocess

for i in range(12):
    r = subprocess.run(["sh", "-c", f"echo {i}; echo err {i} >&2; exit {i}"], capture_output=True, text=True)
    print(r.returncode, repr(r.stdout), repr(r.stderr))
a = subprocess.Popen(["seq", "60000"], stdout=subprocess.PIPE)
b = subprocess.Popen(["sort", "-r"], stdin=a.stdout, stdout=subprocess.PIPE)
a.stdout.close()
print(len(b.communicate()[0]), a.wait(), b.returncode)
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for i in range(600):
    p.stdin.write(b"line %d\n" % i)
    p.stdin.flush()
    line = p.stdout.readline()
print(line)
p.stdin.close()
print(p.wait())
p = subprocess.Popen(["sleep", "100"])
p.send_signal(signal.SIGTERM)
print(p.wait())
try:
    subprocess.run(["sleep", "100"], timeout=0.3)
except subprocess.TimeoutExpired as e:
    print("timeout", e.cmd)
try:
    subprocess.run(["/no/such/program"])
except FileNotFoundError as e:
    print(e.strerror)
print(subprocess.check_output("echo $0 $1; pwd | wc -l", shell=True, cwd="/").decode().split())
print(subprocess.run(["env", "-i", "A=1", "env"], capture_output=True, text=True, env={"B": "2", "PATH": os.environ["PATH"]}).stdout)
r, w = os.pipe()
p = subprocess.Popen(["sh", "-c", f"echo through >&{w}"], pass_fds=[w])
os.close(w)
print(os.read(r, 100), p.wait())
p = subprocess.Popen(["sh", "-c", "sleep 100 & wait"], start_new_session=True)
os.killpg(p.pid, signal.SIGKILL)
print(p.wait())
