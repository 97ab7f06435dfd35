"""Files of prompts: each line generated, scored or embedded, so that a run may be killed and go on."""
