import flow
from hamilton import driver

built = driver.Builder().with_modules(flow).with_cache().build()
inputs = {f"value_{name}": value for name, value in flow.CONFIG["values"].items()}
print(built.execute(["total"], inputs=inputs)["total"])
