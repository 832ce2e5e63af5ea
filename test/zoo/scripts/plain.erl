#!/usr/bin/env escript
main(_) ->
    Me = self(),
    Pids = [spawn(fun() -> Me ! {K, lists:sum([X * X rem 7 || X <- lists:seq(1, K * 20000)])} end) || K <- lists:seq(1, 8)],
    io:format("~p~n", [lists:sort([receive M -> M end || _ <- Pids])]),
    io:format("~p~n", [erlang:phash2(lists:sort([X * 7919 rem 100003 || X <- lists:seq(1, 200000)]))]),
    {ok, L} = gen_tcp:listen(0, [binary, {packet, line}, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(L),
    spawn(fun() -> {ok, C} = gen_tcp:connect({127, 0, 0, 1}, Port, []), [gen_tcp:send(C, io_lib:format("~p~n", [I])) || I <- lists:seq(1, 300)], gen_tcp:close(C) end),
    {ok, S} = gen_tcp:accept(L),
    io:format("~p~n", [read(S, 0)]),
    io:format("~s", [os:cmd("echo from a shell")]),
    receive after 200 -> ok end.
read(S, N) -> case gen_tcp:recv(S, 0) of {ok, B} -> read(S, N + byte_size(B)); {error, closed} -> N end.
