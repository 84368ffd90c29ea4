// Lets `node --test` import the TypeScript sources.
import { register } from "node:module";
register("./typescript-hooks.mjs", import.meta.url);
