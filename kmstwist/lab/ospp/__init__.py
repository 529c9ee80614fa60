"""ospp on lab machines: every option of Office's ospp.vbs, for practice."""
