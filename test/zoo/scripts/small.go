package main

func main() {
	n := 0
	for i := 0; i < 30000000; i++ {
		n = n*31 + i
	}
	println(n)
}
