camera { location <0, 2, -6> look_at <0, 1, 0> }
light_source { <5, 8, -6> rgb 1 }
plane { y, 0 pigment { checker rgb 0.2, rgb 0.9 } finish { reflection 0.3 } }
#declare i = 0;
#while (i < 7)
  sphere { <i - 3, 1, mod(i, 3)>, 0.6 pigment { rgb <i / 7, 0.4, 1 - i / 7> } finish { phong 1 reflection 0.4 } }
  #declare i = i + 1;
#end
