export const attribution = { id: "attribution", title: "Attribution", mount(root, app) {}, update(changed) {} };
