define(`divides', `ifelse(eval($1 % $2), 0, 1, 0)')dnl
define(`try', `ifelse(eval($2 * $2 > $1), 1, `$1
', divides($1, $2), 1, `', `try($1, incr($2))')')dnl
define(`loop', `ifelse(eval($1 > N), 1, `', `try($1, 2)loop(incr($1))')')dnl
loop(2)dnl
