/** The experiments of test/experiments/among. */
import { testFamily } from "./tested.ts";

await testFamily("among");
