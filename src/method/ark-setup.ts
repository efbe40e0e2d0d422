/**
 * Settings of arktype, made before it is first imported: no generated code (half the start-up time), unknown keys are
 * errors.
 */
import { configure } from "arktype/config";

configure({ jitless: true, onUndeclaredKey: "reject" });
