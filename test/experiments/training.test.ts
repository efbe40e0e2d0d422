/** The experiments of test/experiments/training. */
import { testFamily } from "./tested.ts";

await testFamily("training");
