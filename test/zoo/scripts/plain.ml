let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2)
let () =
  Printf.printf "%d\n%!" (fib 30);
  let h = Hashtbl.create 100 in
  for i = 1 to 3000000 do
    let k = i * 7919 mod 5003 in
    Hashtbl.replace h k (i + try Hashtbl.find h k with Not_found -> 0)
  done;
  let l = List.sort compare (Hashtbl.fold (fun k v a -> (k, v) :: a) h []) in
  Printf.printf "%d %d\n%!" (List.length l) (Hashtbl.hash l);
  let f = open_out "out" in
  for i = 1 to 20000 do Printf.fprintf f "%d\n" (i * i) done;
  close_out f;
  Printf.printf "%d\n%!" (Sys.command "exit 4");
  let a = Array.init 300000 (fun i -> string_of_int (i * 7919 mod 100003)) in
  Array.sort compare a;
  print_endline a.(777)
