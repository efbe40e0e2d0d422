/** The experiments of test/experiments/align; docs/experiments.md has the figures of all seeds. */
import { testFamily } from "./tested.ts";

await testFamily("align");
