// Writes 10 * i + value to every place of the output. Exercises binding, uniforms and grids in test/gpu/kernel.test.ts.
//
//   result (n) u32  out

struct Params { n: u32, value: u32 }

override WORKGROUP: u32 = 64;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn fill(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WORKGROUP;
  if (i < params.n) { result[i] = 10u * i + params.value; }
}
