%{
#include <stdio.h>
int yylex(void);
void yyerror(const char *s) { fprintf(stderr, "%s\n", s); }
%}
%token NUMBER
%left '+' '-'
%left '*' '/'
%%
lines: | lines line;
line: expr '\n' { printf("%d\n", $1); } | '\n';
expr: NUMBER | expr '+' expr { $$ = $1 + $3; } | expr '-' expr { $$ = $1 - $3; }
  | expr '*' expr { $$ = $1 * $3; } | expr '/' expr { $$ = $3 ? $1 / $3 : 0; } | '(' expr ')' { $$ = $2; };
%%
int main(void) { return yyparse(); }
