package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	text, _ := os.ReadFile(os.Getenv("DATA") + "/text")
	count := map[string]int{}
	for _, w := range strings.Fields(string(text[:3000000])) {
		count[w]++
	}
	names := make([]string, 0, len(count))
	for w := range count {
		names = append(names, w)
	}
	sort.Slice(names, func(i, j int) bool {
		return count[names[i]] > count[names[j]] || count[names[i]] == count[names[j]] && names[i] < names[j]
	})
	fmt.Println(names[:5])
	jobs, sums := make(chan int), make(chan [32]byte, 1200)
	var crew sync.WaitGroup
	for k := 0; k < 4; k++ {
		crew.Add(1)
		go func() {
			defer crew.Done()
			for n := range jobs {
				sums <- sha256.Sum256([]byte(strings.Repeat(fmt.Sprint(n), 100000)))
			}
		}()
	}
	for n := 0; n < 1200; n++ {
		jobs <- n
	}
	close(jobs)
	crew.Wait()
	close(sums)
	var all [32]byte
	for s := range sums {
		for i := range s {
			all[i] ^= s[i]
		}
	}
	fmt.Printf("%x\n", all)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	var clients sync.WaitGroup
	got := make([]int, 5)
	for k := range got {
		clients.Add(1)
		go func(k int) {
			defer clients.Done()
			c, _ := net.Dial("tcp", l.Addr().String())
			go func() {
				for i := 0; i < 50; i++ {
					fmt.Fprintf(c, "line %d of %d\n", i, k)
					time.Sleep(time.Millisecond)
				}
				c.(*net.TCPConn).CloseWrite()
			}()
			b, _ := io.ReadAll(c)
			got[k] = len(b)
		}(k)
	}
	clients.Wait()
	fmt.Println(got)
	out, err := exec.Command("sh", "-c", "echo out; exit 3").CombinedOutput()
	fmt.Printf("%q %v\n", out, err)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-c)
	select {
	case <-c:
	case <-time.After(200 * time.Millisecond):
		fmt.Println("late")
	}
}
