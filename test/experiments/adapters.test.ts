/** The experiments of test/experiments/adapters. */
import { testFamily } from "./tested.ts";

await testFamily("adapters");
