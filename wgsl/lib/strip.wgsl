// What a lane works on at a time: so many neighbouring rows by one column, or with `wide` by four. Each value that it
// loads meets all of the other side. Loops over rows are unrolled into registers, which takes a software driver
// seconds: it gets fewer (`narrow`), and four columns, since loads cost it more than lanes that stand idle.

@if(narrow) const ROWS = 4u;
@if(!narrow) const ROWS = 8u;

@if(wide) alias Columns = vec4f;
@if(!wide) alias Columns = f32;
