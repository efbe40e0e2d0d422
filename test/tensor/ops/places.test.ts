/** Columns taken and put back. */
import { expect, test } from "bun:test";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { putPlaces, takePlaces } from "../../../src/tensor/ops/places.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("places/take-places", "places/put-places");

const gpu = await sharedGpu();

test.each([
  [1, 7, [6, 0, 3]],
  [5, 1, [0]],
  [33, 129, [128, 1, 64, 63, 0]],
])("(%d, %d)", async (r, c, places) => {
  const x = normals(1, r * c);
  const k = places.length;
  const rec = new Recorder(profileOf(gpu), { training: false });
  const given = rec.constant(x, [r, c], "x");
  const place = rec.constant(Uint32Array.from(places), [k], "places");
  const taken = takePlaces(rec, given, place);
  const whole = scale(rec, given, 2);
  putPlaces(rec, taken, place, whole);
  rec.output("taken", taken);
  rec.output("whole", whole);
  const program = await Program.compile(gpu, rec);
  program.run();
  const row = (i: number) => Math.floor(i / k) * c + places[i % k]!;
  expect([...(await program.read("taken"))]).toEqual(Array.from({ length: r * k }, (_, i) => x[row(i)]!));
  const expected = x.map((v, i) => (places.includes(i % c) ? v : 2 * v));
  expect([...(await program.read("whole"))]).toEqual([...expected]);
  program.free();
});
