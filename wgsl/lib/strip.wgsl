// How many neighbouring rows a lane works on at a time: each value that it loads meets all of them. Loops over them are
// unrolled into registers, which takes a software driver seconds: it gets fewer, at the same speed (`narrow`).

@if(narrow) const ROWS = 4u;
@if(!narrow) const ROWS = 8u;
