// Keeps the last tokens of every row, for the convolution of those that follow.
//
//   x         (B * T, C)     f32
//   positions (B * T)        i32  below 0: padding at the end of a row, which is not kept
//   tail      (B, before, C) f32  in and out: the last `before` tokens
//
// Checked in test/tensor/ops/causal-conv.test.ts.

struct Params { count: u32, t: u32, c: u32, before: u32 } // count: B * C

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read_write> tail: array<f32>;

@compute @workgroup_size(64)
fn keep_tail(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let at = (group.x + group.y * groups.x) * 64u + lane;
  if (at >= params.count) { return; }
  let channel = at % params.c;
  let row = at / params.c;
  var n = params.t;
  while (n > 0u && positions[row * params.t + n - 1u] < 0) { n--; }
  let own = row * params.before * params.c + channel;
  for (var m = 0u; m < params.before; m++) {
    let i = m + n; // among the kept tokens and the new ones after them
    var value = 0.0;
    if (i < params.before) { value = tail[own + i * params.c]; }
    else { value = x[(row * params.t + i - params.before) * params.c + channel]; }
    tail[own + m * params.c] = value;
  }
}
