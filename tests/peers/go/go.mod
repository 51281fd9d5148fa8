module spandrel/makes

go 1.26
