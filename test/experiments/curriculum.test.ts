/** The experiments of test/experiments/curriculum; docs/experiments.md has the figures of all seeds. */
import { testFamily } from "./tested.ts";

await testFamily("curriculum");
