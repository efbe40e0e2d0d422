/** The experiments of test/experiments/compress. */
import { testFamily } from "./tested.ts";

await testFamily("compress");
