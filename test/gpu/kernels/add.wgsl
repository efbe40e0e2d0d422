// Adds three parameters of different types to a copy of the input. Exercises packing by name in
// test/gpu/kernel.test.ts.
//
//   source (n) f32
//   result (n) f32  out

struct Params {
  n: u32,
  signed: i32,
  real: f32,
  @if(twice) factor: f32,
}

@group(0) @binding(3) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.n) { return; }
  var x = source[id.x] + f32(params.signed) + params.real;
  @if(twice) x *= params.factor;
  result[id.x] = x;
}
