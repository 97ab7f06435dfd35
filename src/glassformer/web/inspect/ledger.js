export const ledger = { id: "ledger", title: "Ledger", mount(root, app) {}, update(changed) {} };
