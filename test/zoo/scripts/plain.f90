program plain
  implicit none
  integer, parameter :: n = 260
  real(8) :: a(n, n), b(n, n), c(n, n)
  integer :: i, j, turn
  do j = 1, n
    do i = 1, n
      a(i, j) = mod(i * 7919 + j, 1009) / 1009d0
      b(i, j) = mod(i * 31 + j * 17, 997) / 997d0
    end do
  end do
  do turn = 1, 700
    c = matmul(a, b)
    a = c / maxval(c)
    write (*, '(i3, f14.8)') turn, sum(a)
  end do
end program
