/** What a method of `align` is. Each family has a contract and a frame of its own. */
import type { LoggedMethod } from "./logged/contract.ts";
import type { PreferenceMethod } from "./preferences/contract.ts";

export type AlignMethod = PreferenceMethod | LoggedMethod;

declare module "../method/registry.ts" {
  interface Contracts {
    align: AlignMethod;
  }
}
